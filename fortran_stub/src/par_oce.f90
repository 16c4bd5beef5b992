!> Sizes of the global grid and of this rank's subdomain.
!!
!! The global grid carries no halo. A rank owns (Nis0:Nie0, Njs0:Nje0) and sees nn_hls more cells on each side. Every
!! stencil of a step (EEN vorticity, biharmonic friction, UBS, Zanna-Bolton) reaches two cells, so with nn_hls = 2
!! a step needs one lbc_lnk, at its end; what the halo would have had to receive in between is computed twice.
module par_oce
   implicit none
   private

   integer, parameter, public :: nn_hls = 2      !< halo width, in cells
   integer, parameter, public :: jpt = 3         !< time levels
   integer, parameter, public :: jpts = 1        !< tracers
   integer, parameter, public :: jp_tem = 1      !< index of temperature
   integer, parameter, public :: jpmaxlay = 10   !< most layers that the namelist can describe

   integer, public :: Ni0glo = 0, Nj0glo = 0               !< global size, without halo
   integer, public :: jpk = 0                              !< number of active layers
   integer, public :: jpi = 0, jpj = 0                     !< local size, with halo
   integer, public :: Ni_0 = 0, Nj_0 = 0                   !< local size, without halo
   integer, public :: Nis0 = 0, Nie0 = 0, Njs0 = 0, Nje0 = 0   !< local interior
   integer, public :: jpni = 0, jpnj = 0, jpnij = 0        !< ranks along i, along j, in all
end module par_oce
