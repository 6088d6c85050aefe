package web

// incidentRoutes registers the pages of the incidents.
func (s *Server) incidentRoutes() {}
